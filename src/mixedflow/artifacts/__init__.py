"""TODO artifacts"""
