# The words that docs/unproven.md's commands use beside those of esteira, gcloud and bq. Read by bash, in a folder with
# cases/flights and profiles/cloud.yaml.

newest() { # TARGET: the newest run's id
  esteira runs list --on "$1" --profile cloud --most 1 --json |
    python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])'
}

google() { # PATH: a page of Vertex AI's API; what follows is curl's
  curl --fail --silent --show-error -H "Authorization: Bearer $(gcloud auth print-access-token)" \
    -H "Content-Type: application/json" \
    "https://$REGION-aiplatform.googleapis.com/v1/projects/$PROJECT/locations/$REGION/$1" "${@:2}"
}

place() { # [BLOBS]: how what stands for the case at Vertex AI is called, by the address of its blobs
  printf 'esteira-flights-%s' "$(printf %s "${1:-gs://$BUCKET/$KEY/blobs}" | sha256sum | cut -c1-8)"
}

change() { # FILE YAML: lays the YAML over the file's, as a JSON merge patch (RFC 7386): null takes a key away
  python3 -c '
import sys, pathlib, yaml
def over(old, new):
    if not isinstance(new, dict):
        return new
    kept = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        kept.pop(key, None) if value is None else kept.update({key: over(kept.get(key), value)})
    return kept
place = pathlib.Path(sys.argv[1])
whole = over(yaml.safe_load(place.read_text(encoding="utf-8")), yaml.safe_load(sys.argv[2]))
place.write_text(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True), encoding="utf-8")
' "$@"
}

release() { # the case as it is now, in the folder changed/
  rm -rf changed
  esteira compile flights --profile cloud --images "$DIGESTS" --out changed >/dev/null
}

submit() { # NAME: the case as it is now, submitted under the key $KEY-NAME and followed; more are options
  release
  esteira submit flights batch --release changed --to vertex --profile cloud --key "$KEY-$1" --wait --every 5 "${@:2}"
}

machines() { # what the newest custom jobs run on
  gcloud ai custom-jobs list --project="$PROJECT" --region="$REGION" --sort-by=~createTime --limit=12 \
    --format='yaml(displayName, jobSpec.workerPoolSpecs[].machineSpec, jobSpec.workerPoolSpecs[].diskSpec)'
}

row() { # a request of one row for the endpoint
  python3 -c '
import json, pathlib, yaml
case = yaml.safe_load(pathlib.Path("cases/flights/case.yaml").read_text(encoding="utf-8"))
kinds = {name: column["type"] for name, column in case["columns"].items()}
values = {"string": "JFK", "timestamp": "2013-12-01T12:00:00Z"}
print(json.dumps({"instances": [{name: values.get(kinds.get(name), 1) for name in case["inputs"]}]}))
'
}
