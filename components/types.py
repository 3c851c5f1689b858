"""The images that the components run in. Locally each name stands for a prebuilt environment under `.venvs/`."""

PIPELINE = "esteira-pipeline:dev"
VALIDATE = "esteira-validate:dev"
SERVER = "esteira-server:dev"
