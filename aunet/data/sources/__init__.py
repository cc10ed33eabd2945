"""Where cases come from: one file per layout or public dataset."""
