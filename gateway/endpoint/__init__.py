"""The user agent on the trunk: a process of its own that takes calls, plays the notice, and joins them to the practice's number."""
