-- wrk's script: POSTs the lines of the file LOAD_BODIES in turn, as requests made before the load begins: what wrk computes
-- is taken from the server beside it. Prints one line of JSON. With LOAD_EACH=1 each has an id of its own, and the accepted
-- (200) are told from the refused (503) by the id that the answer repeats.
local token, each = os.getenv("LOAD_TOKEN"), os.getenv("LOAD_EACH")
local headers = {["Content-Type"] = "application/json", ["Authorization"] = token and ("Bearer " .. token)}
local bodies, made, sent = {}, {}, 0
local thread_of_load

function setup(thread) thread_of_load = thread end

function init()
  for line in io.lines(os.getenv("LOAD_BODIES")) do
    bodies[#bodies + 1] = line
    made[#made + 1] = wrk.format("POST", nil, headers, line)
  end
end

function request()
  sent = sent + 1
  if not each then return made[sent % #made + 1] end
  headers["X-Request-Id"] = tostring(sent)
  started[sent] = now()
  return wrk.format("POST", nil, headers, bodies[sent % #bodies + 1])
end

if each then
  local ffi = require("ffi")
  ffi.cdef("typedef struct { long sec; long nsec; } moment; int clock_gettime(int, moment *);")
  local moment = ffi.new("moment")
  function now()  -- milliseconds
    ffi.C.clock_gettime(1, moment)
    return tonumber(moment.sec) * 1e3 + tonumber(moment.nsec) / 1e6
  end
  started, accepted, statuses, unnamed = {}, {}, {}, 0
  function response(status, answered)
    statuses[tostring(status)] = (statuses[tostring(status)] or 0) + 1
    local id = tonumber(answered["x-request-id"] or answered["X-Request-Id"])
    if not id then
      unnamed = unnamed + 1
    else
      if status == 200 then accepted[#accepted + 1] = now() - started[id] end
      started[id] = nil
    end
  end
end

function done(summary, latency)
  local errors, more = summary.errors, ""
  local times = thread_of_load:get("accepted")
  if times then
    table.sort(times)
    local counts = {}
    for status, count in pairs(thread_of_load:get("statuses")) do
      counts[#counts + 1] = string.format('"%s": %d', status, count)
    end
    local function at(share) return times[math.max(1, math.ceil(#times * share))] or 0 end
    more = string.format(', "accepted": {"count": %d, "p50": %.3f, "p99": %.3f, "max": %.3f}, "unnamed": %d, "statuses": {%s}',
      #times, at(0.5), at(0.99), at(1), thread_of_load:get("unnamed"), table.concat(counts, ", "))
  end
  print(string.format(
    '{"requests": %d, "seconds": %.6f, "p50": %.3f, "p99": %.3f, "max": %.3f, "refused": %d, "broken": %d%s}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3, errors.status, errors.connect + errors.read + errors.write + errors.timeout, more))
end
