"""Mutants of the entries of each group: the share of every run. Nightly a million of each; see `make nightly`."""

from __future__ import annotations

import pytest

from casty.cluster.control import schema as control_schema
from casty.cluster.slots import schema as slot_schema
from casty.cluster.slots.schema import APPENDED, COMMAND, ENTRIES, KEEPALIVES, READ
from casty.schema import Rule, compiled, flaw
from casty.wire.pack import pack, unpack
from chaos.__main__ import main
from chaos.ablations.bug import Planted, planted
from chaos.ablations.schemas import MUTANTS
from chaos.fuzz import FUZZERS
from chaos.mutants import Mutants

SHARE = 20_000


@pytest.mark.slow
@pytest.mark.parametrize("group", FUZZERS)
def test_no_mutant_of_an_entry_raises_or_parts_the_replicas(group: str) -> None:
    report = FUZZERS[group](SHARE, seed=1)
    assert not report.faults
    assert report.counts["refused"] > SHARE // 4, "mutants that fit show nothing about the check"
    assert report.counts["applied"] - report.counts["refused"] > SHARE // 8, (
        "and the others nothing about applying"
    )


@pytest.mark.slow
@pytest.mark.parametrize("bug", MUTANTS, ids=lambda bug: bug.name)
def test_the_fuzzers_find_what_is_planted(bug: Planted) -> None:
    with planted(bug):
        assert FUZZERS[bug.scenario](SHARE // 4, seed=1).faults


SCHEMAS = [ENTRIES, READ, *KEEPALIVES.values(), control_schema.ENTRIES]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: str(schema)[:40])
def test_what_a_schema_draws_fits_and_both_ways_to_ask_agree(schema: Rule) -> None:
    mutants, fits = Mutants(2), compiled(schema)
    for _ in range(300):
        value = mutants.fitting(schema)
        assert fits(value) and flaw(schema, value, "it") is None
        mutant = mutants.mutant(schema, value)
        found = flaw(schema, mutant, "it")
        assert fits(mutant) == (found is None)
        assert found is None or len(found) < 1_000


def test_the_short_cut_takes_usual_commands_and_nothing_that_the_schema_does_not() -> None:
    mutants, fits = Mutants(3), compiled(ENTRIES)
    command = ENTRIES.row(COMMAND)
    for _ in range(2_000):
        usual = mutants.fitting(command)
        assert slot_schema._is_usual(usual)
        mutant = mutants.mutant(ENTRIES, mutants.fitting(ENTRIES))
        assert fits(mutant) or not slot_schema._is_usual(mutant)


def test_the_short_cut_takes_events_and_nothing_that_the_schema_does_not() -> None:
    mutants, fits = Mutants(4), compiled(ENTRIES)
    appended = ENTRIES.row(APPENDED)
    for _ in range(2_000):
        assert slot_schema._is_usual_append(mutants.fitting(appended))
        mutant = mutants.mutant(appended, mutants.fitting(appended))
        assert fits(mutant) or not slot_schema._is_usual_append(mutant)
        mutant = mutants.mutant(ENTRIES, mutants.fitting(ENTRIES))
        assert fits(mutant) or not slot_schema._is_usual_append(mutant)


def test_mutants_are_those_of_their_seed() -> None:
    assert Mutants(5).packed(ENTRIES)[1] == Mutants(5).packed(ENTRIES)[1]
    data = [Mutants(seed).packed(ENTRIES)[1] for seed in range(50)]
    assert len(dict.fromkeys(data)) > 40
    assert isinstance(unpack(pack(Mutants(5).fitting(ENTRIES))), list)


def test_the_command_line_says_what_it_tried(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuzz", "slot", "--count", "50", "--seed", "3"]) == 0
    assert "slot, seed 3: " in capsys.readouterr().out
