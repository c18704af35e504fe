"""Numbers that say how good sound is. A judge whose package or weights are missing raises `NotAvailable`."""
