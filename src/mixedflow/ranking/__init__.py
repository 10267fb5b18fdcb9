"""TODO ranking"""
