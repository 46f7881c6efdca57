"""The schedule that really ran: a trace of an optimizer's learning rates, and what is off in it."""
