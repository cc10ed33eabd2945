"""How is a scan drawn? Planes, panels, sheets and the files they become."""
