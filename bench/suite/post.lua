-- One inference request: 30 numeric features, KServe V2 JSON. BODY=small has 3 of them (about 200 bytes), BODY=large 360
-- rows (about 100 KB); the default is one row, about 1.9 KB. CLOSE=1 asks for a new connection each time.
local kind = os.getenv("BODY") or "normal"
local features = kind == "small" and 3 or 30
local rows = kind == "large" and 360 or 1
math.randomseed(7)
local bodies = {}
for b = 1, 64 do
  local tensors = {}
  for i = 1, features do
    local data = {}
    for r = 1, rows do data[r] = string.format("%.5f", math.random()) end
    tensors[i] = string.format('{"name":"f%02d","datatype":"FP32","shape":[%d],"data":[%s]}', i, rows, table.concat(data, ','))
  end
  bodies[b] = '{"id":"' .. b .. '","inputs":[' .. table.concat(tensors, ',') .. ']}'
end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["x-tenant-id"] = "acme"
if os.getenv("CLOSE") then wrk.headers["Connection"] = "close" end
local n = 0
request = function()
  n = n + 1
  return wrk.format(nil, "/v2/models/fraud/infer", nil, bodies[n % 64 + 1])
end
