"""How fast mail lands, measured side by side with the plain recipe; never deployed."""
