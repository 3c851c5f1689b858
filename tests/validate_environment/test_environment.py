"""What the other steps write, validate's own and perhaps older libraries read."""

from pathlib import Path

from components import step
from components.core import artifacts, events, shards
from components.core.shards import TableDigest
from validate_environment.expected import EVENTS
from validate_environment.sample import flights, table


def test_an_artifact_of_the_other_environments_verifies_here() -> None:
    assert artifacts.verify(EVENTS, "events").rows == 1301


def test_the_rows_that_are_read_have_the_digest_that_was_written() -> None:
    manifest = artifacts.read_manifest(EVENTS, "events")
    for partition in manifest.partitions:
        digest = TableDigest(events.schema(flights()))
        for rows in shards.read_tables(EVENTS, manifest, partitions=[partition.key]):
            digest.update(rows)
        assert digest.hexdigest() == partition.digest


def test_the_sample_is_the_real_flights(flights_data: Path) -> None:
    rows = table(flights(), flights_data / "flights.csv")
    stored = shards.read_all(EVENTS, artifacts.read_manifest(EVENTS, "events"))
    assert rows.equals(stored.combine_chunks()) or rows.to_pydict() == stored.to_pydict()


def test_the_environment_has_a_digest_of_its_own() -> None:
    assert len(step.environment_digest()) == 64
