"""The steps of planning, of which `plan` is the last: from orders and what is seen to what should run. Pure."""
