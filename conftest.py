"""What every test of the workspace can use: real servers on demand, and the marker `stack` for tests that do."""

pytest_plugins = ["gongji_local.pytest_plugin"]
