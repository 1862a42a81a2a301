-- Texts of a file in turn, posted as JSON; prints what came of them as one line of JSON.
-- wrk -s post.lua URL -- TEXTS KEY, where KEY is the field of the text ("text", or ours, "texts").
local bodies, place = {}, 0

function init(args)
  local file = assert(io.open(args[1]))
  for line in file:lines() do  -- each is a JSON string already
    table.insert(bodies, '{"' .. args[2] .. '": ' .. line .. (args[2] == "texts" and ', "top": 1}' or "}"))
  end
  file:close()
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  place = place % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[place])
end

function done(summary, latency)
  local e = summary.errors
  print(string.format(
    'JSON {"requests": %d, "seconds": %.3f, "failed": %d, "p50": %.3f, "p95": %.3f, "p99": %.3f}',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end
