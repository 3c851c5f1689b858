"""The flights' enrichment and features in one process of polars, in memory, without digests or a dead letter."""

from __future__ import annotations

from pathlib import Path

import polars as pl

WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
WINDOWS: dict[str, tuple[list[str], list[int], str, list[str], str]] = {
    "origin_departures": (["origin"], [1, 3], "dep_delay", ["count", "mean"], "_event_time"),
    "carrier_departures": (["origin", "carrier"], [3], "dep_delay", ["count", "mean"], "_event_time"),
    "carrier_arrivals": (["carrier"], [3], "arr_delay", ["mean"], "_label_time"),
    "dest_arrivals": (["dest"], [3, 12], "arr_delay", ["mean"], "_label_time"),
}


def windows(rows: pl.DataFrame) -> list[pl.Series]:
    """Counts and means over [t - length, t): the difference of two running sums, found by as-of joins."""
    made = []
    for name, (by, lengths, of, computes, time) in WINDOWS.items():
        known = rows.filter(pl.col(of).is_not_null() & pl.col(time).is_not_null())
        sums = (
            known.select(*by, pl.col(time).alias("at"), pl.col(of).cast(pl.Int64).alias("sum"))
            .sort("at")
            .with_columns(pl.col("sum").cum_sum().over(by), pl.col("sum").cum_count().over(by).alias("count"))
        )
        asked = rows.select(*by, pl.col("_event_time").alias("at"), pl.int_range(pl.len()).alias("row"))
        last = _before(asked, sums, by)
        for length in lengths:
            first = _before(asked.with_columns(pl.col("at") - pl.duration(hours=length)), sums, by)
            count, total = last["count"] - first["count"], last["sum"] - first["sum"]
            if "count" in computes:
                made.append(count.cast(pl.Float64).alias(f"{name}_count_{length}h"))
            mean = pl.DataFrame({"s": total, "c": count}).select(
                pl.when(pl.col("c") > 0).then(pl.col("s") / pl.col("c"))
            )
            made.append(mean.to_series().alias(f"{name}_mean_{length}h"))
    return made


def _before(asked: pl.DataFrame, sums: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    found = asked.join_asof(
        sums, on="at", by=by, strategy="backward", allow_exact_matches=False, check_sortedness=False
    )
    return found.select(pl.col("count").fill_null(0), pl.col("sum").fill_null(0))


def enrich(events: Path, references: Path) -> pl.DataFrame:
    rows = pl.read_parquet(sorted(events.glob("*/*.parquet"))).sort("_event_time", "_entity")
    weather = pl.read_parquet(references / "weather.parquet").select("origin", "time_hour", *WEATHER)
    weather = weather.rename({name: f"weather_{name}" for name in WEATHER}).rename({"time_hour": "_event_time"})
    airports = pl.read_parquet(references / "airport.parquet").select("faa", "lat", "lon", "alt")
    airports = airports.unique("faa", keep="last").rename({n: f"airport_{n}" for n in ("lat", "lon", "alt")})
    joined = rows.join_asof(
        weather.sort("_event_time"), on="_event_time", by="origin", tolerance="3h", check_sortedness=False
    ).join(airports, left_on="dest", right_on="faa", how="left", maintain_order="left")
    return joined.with_columns(windows(joined))


def features(rows: pl.DataFrame) -> pl.DataFrame:
    local = pl.col("time_hour") - pl.duration(hours=5)
    departure = pl.col("hour") * 60 + pl.col("minute")
    arrival = (pl.col("sched_arr_time") / 100).floor() * 60 + pl.col("sched_arr_time") % 100
    numbers = {
        "weekday": local.dt.weekday() - 1,
        "season": (local.dt.month().cast(pl.Int64) - 7).abs(),
        "departure_minute": departure,
        "arrival_minute": arrival,
        "planned_minutes": (arrival - departure) % 1440,
        "distance": pl.col("distance"),
        "dep_delay": pl.col("dep_delay"),
        "east": pl.col("airport_lon") + 74,
        "north": pl.col("airport_lat") - 41,
        "altitude": pl.col("airport_alt"),
        "dew_spread": pl.col("weather_temp") - pl.col("weather_dewp"),
    }
    same = [c for c in rows.columns if c.startswith("weather_") or "departures_" in c or "arrivals_" in c]
    numbers |= {name: pl.col(name) for name in same}
    return rows.select(
        *(expression.cast(pl.Float32).fill_null(float("nan")).alias(name) for name, expression in numbers.items()),
        *(pl.col(name).fill_null("") for name in ("carrier", "origin", "dest")),
        "_entity",
        "_event_time",
        (pl.col("arr_delay") > 15).cast(pl.Float64).alias("_label"),
        pl.lit(1.0).alias("_weight"),
    )


def run(events: Path, references: Path, target: Path, holdout: str, score: str) -> None:
    """Writes features, holdout and score; the last two from the months that are named on."""
    rows = enrich(events, references)
    month = pl.col("_event_time").dt.strftime("%Y-%m")
    labelled = pl.col("arr_delay").is_not_null()
    features(rows.filter(labelled & (month < holdout))).write_parquet(target / "features.parquet")
    for name, kept in (("holdout", labelled & (month >= holdout) & (month < score)), ("score", month >= score)):
        rows.filter(kept).drop("arr_delay", "air_time").write_parquet(target / f"{name}.parquet")
