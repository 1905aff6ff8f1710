"""One node: links, groups, requests and the duties of leaders put together."""
