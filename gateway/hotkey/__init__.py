"""The global hotkey on a call-taker's own desktop: tells by sound and sight what the gateway did.

`desk` decides and does no I/O; `asking` and `following` speak with the gateway, `keys` hears the keyboard, `player` and
`display` tell the person, `running` puts them together. Nothing here needs the recorder's libraries.
"""
