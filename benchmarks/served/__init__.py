"""One model behind our server and its rivals, and who asks them: for the serving benchmark and the soak."""
