"""The adapters to Google Cloud. Google's libraries are imported when an adapter is first used."""
