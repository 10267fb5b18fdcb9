"""Sources -> rows as delivered -> prepared rows and their card; nothing else goes online."""
