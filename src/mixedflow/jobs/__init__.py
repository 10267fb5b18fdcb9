"""TODO jobs"""
