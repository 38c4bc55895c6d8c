pytest_plugins = ["once_lab"]
