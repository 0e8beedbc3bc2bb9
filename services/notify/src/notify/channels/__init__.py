"""Ways to reach people besides their inbox: one port, an adapter for each way."""
