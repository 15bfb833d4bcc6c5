-- The request of post.lua, each time from another tenant: 500 that stay, and 4 500 of which 100 at a time come and go.
-- TENANTS=n: n that stay.
dofile((debug.getinfo(1, "S").source:sub(2):match("^(.*)/") or ".") .. "/post.lua")
local plain = request
local all = tonumber(os.getenv("TENANTS") or "")
local count = 0
request = function()
  count = count + 1
  local tenant = count % (all or 500)
  if not all and count % 6 == 0 then tenant = 500 + (math.floor(count / 100000) * 100 + count / 6 % 100) % 4500 end
  wrk.headers["x-tenant-id"] = "t" .. math.floor(tenant)
  return plain()
end
