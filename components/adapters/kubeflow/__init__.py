"""The adapters to Kubeflow Pipelines. The launcher makes the client: only it knows kfp."""
