"""What a node keeps on its disk: the record format (pure), the book that writes it, and the devices that hold it."""
