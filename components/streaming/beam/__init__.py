"""The Beam job of streaming inference, as Dataflow runs it: the same steps, behind one key."""
