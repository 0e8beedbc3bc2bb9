"""The rules of mutual aid as pure functions over frozen data: no I/O, no clock, no library besides the standard one."""
