"""What the model sees of a flight at its departure."""

import numpy as np

_HOUR = np.timedelta64(1, "h")


def features(columns):
    """Columns of n enriched flights -> float32 and str columns of n rows. Row by row: no reduction over rows."""
    local_day = (columns["time_hour"] - 5 * _HOUR).astype("datetime64[D]")
    weekday = (local_day.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    month = local_day.astype("datetime64[M]").astype(np.int64) % 12
    departure = columns["hour"] * 60 + columns["minute"]
    arrival = np.floor(columns["sched_arr_time"] / 100) * 60 + columns["sched_arr_time"] % 100
    numbers = {
        "weekday": weekday,
        "season": np.abs(month - 6),
        "departure_minute": departure,
        "arrival_minute": arrival,
        "planned_minutes": (arrival - departure) % 1440,
        "distance": columns["distance"],
        "dep_delay": columns["dep_delay"],
        "east": columns["airport_lon"] + 74,
        "north": columns["airport_lat"] - 41,
        "altitude": columns["airport_alt"],
        "dew_spread": columns["weather_temp"] - columns["weather_dewp"],
    }
    numbers |= {name: values for name, values in columns.items() if name.startswith("weather_")}
    numbers |= {name: values for name, values in columns.items() if "departures_" in name or "arrivals_" in name}
    result = {name: values.astype(np.float32) for name, values in numbers.items()}
    return result | {name: columns[name] for name in ("carrier", "origin", "dest")}
