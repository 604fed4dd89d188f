// Where the API is, and how a shell asks it.
"use strict";

// A page stands at the root of a stage or at its v1/docs, and may be opened with or without a last
// slash. Put together as text: a path such as `//other.example/` must not become another host.
const BASE = `${location.origin}${location.pathname.replace(/(\/v1\/docs)?\/*$/, "")}/`;
const AUTH = meta("lectern-auth") || "api-key";
const KEY_VARIABLE = "LECTERN_API_KEY";
const TOKEN_VARIABLE = "LECTERN_TOKEN";

// The key itself stays out of what is copied: a shell reads it from its environment.
const CURL_AUTH = {
  "api-key": [`-H "x-api-key: $${KEY_VARIABLE}"`],
  jwt: [`-H "authorization: Bearer $${TOKEN_VARIABLE}"`],
  cognito: [`-H "authorization: Bearer $${TOKEN_VARIABLE}"`],
  iam: [
    '--aws-sigv4 "aws:amz:$AWS_REGION:execute-api" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"',
    '-H "x-amz-security-token: $AWS_SESSION_TOKEN"',
  ],
};

function shellQuoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

// `more` are further arguments, as the body.
function curlCall(method, path, { auth = CURL_AUTH[AUTH] ?? [], headers = {}, more = [] }) {
  return [
    `curl -sS${method === "GET" ? "" : ` -X ${method}`} ${shellQuoted(BASE + path)}`,
    ...auth,
    ...Object.entries(headers).map(([name, value]) => `-H ${shellQuoted(`${name}: ${value}`)}`),
    ...more,
  ].join(" \\\n  ");
}

// Short JSON on one line, longer JSON to read.
function bodyText(body) {
  const short = JSON.stringify(body);
  return short.length <= 100 ? short : JSON.stringify(body, null, 2);
}
