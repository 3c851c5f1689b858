"""What every place shares: no pipeline SDK, no cloud client, no Beam in here."""
