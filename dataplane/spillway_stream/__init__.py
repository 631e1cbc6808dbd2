"""What an application imports to send through a ring. Imports nothing else of Spillway's; numpy is used where it is there."""
