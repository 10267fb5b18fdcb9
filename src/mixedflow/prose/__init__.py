"""TODO prose"""
