"""What is done when a bell has rung: a module for each kind of thing."""
