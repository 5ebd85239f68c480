-- What portvakt_access.py cannot see: names of headers that CGI leaves out and a proxied application takes for the
-- gateway's, an absolute-form target, and fields that Apache would take away after they were checked.
-- For LuaHookAccessChecker. An error in here is answered by Apache with 500.

local RESERVED = { "^x%-identity", "^x%-portvakt", "^signature", "^content%-digest" }

local function reserved(name)
  for _, pattern in ipairs(RESERVED) do
    if name:match(pattern) then return true end
  end
  return false
end

function check(r)
  if not r.the_request:match("^[A-Z-]+ /") then return refuse(r, "not a plain request line") end
  for name, value in pairs(r:headers_in_table()) do
    local lower = name:lower()
    local folded = lower:gsub("[^a-z0-9]", "-")
    -- The gateway takes all such names away, and the application could take each for another.
    if folded ~= lower then return refuse(r, "a name that the gateway does not write") end
    if lower == "connection" then
      for nominated in value:lower():gmatch("[^,%s]+") do
        if reserved((nominated:gsub("[^a-z0-9]", "-"))) then return refuse(r, "Connection names what was signed") end
      end
    end
  end
  return apache2.DECLINED
end

function refuse(r, reason)
  r:err("portvakt: refused: " .. reason)
  return 403
end
