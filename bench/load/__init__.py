"""Load generator: a process that makes many calls and checks the audio of some of them."""
