"""Simulated users who give extreme points and clicks."""
