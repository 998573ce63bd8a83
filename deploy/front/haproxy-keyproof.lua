-- Asks keyproof whether a request may pass, and does what it answers. haproxy.cfg beside this file loads it.
local address = "127.0.0.1:4180"

-- The routes' identity headers.
local identity = { "x-auth-subject", "x-auth-client", "x-auth-scope", "x-auth-issuer", "x-auth-key" }

-- What the question takes along from the client.
local asked_with = { "authorization", "dpop", "origin", "access-control-request-method", "access-control-request-headers", "x-request-id", "x-keyproof-doctor" }

-- A name as the sloppiest application would read it: its letters and digits.
local function letters_and_digits(name)
    return (name:lower():gsub("[^a-z0-9]", ""))
end

local is_identity = {}
for _, name in ipairs(identity) do
    is_identity[letters_and_digits(name)] = true
end

local function first(values)
    return values and (values[0] or values[1])
end

local function refuse(txn, status, headers, body)
    local reply = txn:reply({ status = status, body = body })
    for name, values in pairs(headers) do
        if name ~= "content-length" and name ~= "transfer-encoding" and name ~= "connection" then
            for _, value in pairs(values) do
                reply:add_header(name, value)
            end
        end
    end
    txn:done(reply)
end

core.register_action("keyproof", { "http-req" }, function(txn)
    local sent = txn.http:req_get_headers()
    local question = {
        ["x-forwarded-method"] = { txn.sf:method() },
        ["x-forwarded-proto"] = { txn:get_var("txn.scheme") },
        ["x-forwarded-host"] = { first(sent["host"]) or "" },
        ["x-forwarded-uri"] = { txn.sf:pathq() },
        ["x-forwarded-for"] = { txn.sf:src() },
    }
    for _, name in ipairs(asked_with) do
        if sent[name] then
            local lines = {}
            for _, value in pairs(sent[name]) do
                table.insert(lines, value)
            end
            question[name] = lines
        end
    end
    local answer = core.httpclient():get({ url = "http://" .. address .. "/", headers = question, timeout = 5000 })
    if not answer or answer.status == 0 or (answer.status ~= 200 and answer.status < 400) then
        return refuse(txn, 503, { ["retry-after"] = { "1" }, ["content-type"] = { "application/json" } }, '{"error":"temporarily_unavailable"}')
    end
    if answer.status ~= 200 then
        return refuse(txn, answer.status, answer.headers, answer.body)
    end

    -- What the client said of itself goes, in every spelling, and with `Connection` also what would take ours away again.
    for name, _ in pairs(sent) do
        if is_identity[letters_and_digits(name)] then
            txn.http:req_del_header(name)
        end
    end
    for _, name in ipairs(identity) do
        local value = first(answer.headers[name])
        if value and value ~= "" then
            txn.http:req_set_header(name, value)
        end
    end
    -- Given back empty: removed. Not given back: the route says `authorization: keep`, or it observes.
    local authorization = first(answer.headers["authorization"])
    if authorization == "" then
        txn.http:req_del_header("authorization")
    elseif authorization then
        txn.http:req_set_header("authorization", authorization)
    end
    for name, variable in pairs({
        ["dpop-nonce"] = "txn.decision_nonce",
        ["access-control-allow-origin"] = "txn.decision_cors",
        ["access-control-expose-headers"] = "txn.decision_exposed",
    }) do
        local value = first(answer.headers[name])
        if value then
            txn:set_var(variable, value)
        end
    end
    -- Without this, as after an error in these lines, haproxy.cfg refuses the request.
    txn:set_var("txn.decision", "allowed")
end)
