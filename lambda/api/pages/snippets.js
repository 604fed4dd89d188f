// The call on the page as code to take along.
"use strict";

const INLINE_BYTES = 4_000_000;

// Methods of huggingface_hub.InferenceClient, with the parameters that each takes by name.
const CLIENT = {
  "text-classification": { method: "text_classification", takes: ["top_k", "function_to_apply"] },
  "zero-shot-classification": {
    method: "zero_shot_classification",
    takes: ["multi_label", "hypothesis_template"],
  },
  "token-classification": {
    method: "token_classification",
    takes: ["aggregation_strategy", "ignore_labels", "stride"],
  },
  "question-answering": {
    method: "question_answering",
    takes: [
      "align_to_words",
      "doc_stride",
      "handle_impossible_answer",
      "max_answer_len",
      "max_question_len",
      "max_seq_len",
      "top_k",
    ],
  },
  "table-question-answering": { method: "table_question_answering", takes: ["sequential"] },
  "fill-mask": { method: "fill_mask", takes: ["targets", "top_k"] },
  "feature-extraction": { method: "feature_extraction", takes: ["normalize"] },
  summarization: {
    method: "summarization",
    takes: ["clean_up_tokenization_spaces"],
    rest: "generate_parameters",
  },
  translation: {
    method: "translation",
    takes: ["src_lang", "tgt_lang", "clean_up_tokenization_spaces"],
    rest: "generate_parameters",
  },
  "text2text-generation": {
    method: "text_generation",
    takes: [
      "do_sample",
      "max_new_tokens",
      "repetition_penalty",
      "seed",
      "stop",
      "temperature",
      "top_k",
      "top_p",
    ],
  },
  "text-generation": {
    method: "text_generation",
    takes: [
      "do_sample",
      "max_new_tokens",
      "repetition_penalty",
      "return_full_text",
      "seed",
      "stop",
      "temperature",
      "top_k",
      "top_p",
    ],
  },
};

function pythonLiteral(value, indent = "") {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  // JSON's strings are Python's, and so are its numbers.
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `;
  const list = Array.isArray(value);
  const parts = list
    ? (deeper) => value.map((item) => pythonLiteral(item, deeper))
    : (deeper) =>
        Object.entries(value).map(
          ([name, item]) => `${JSON.stringify(name)}: ${pythonLiteral(item, deeper)}`,
        );
  const [open, close] = list ? "[]" : "{}";
  const short = `${open}${parts(indent).join(", ")}${close}`;
  if (short.length <= 76 - indent.length && !short.includes("\n")) return short;
  return `${open}\n${parts(inner)
    .map((part) => `${inner}${part},\n`)
    .join("")}${indent}${close}`;
}

// What Python has to say about who asks: imports, preparation, headers, and further arguments.
function pythonAuth() {
  if (AUTH === "iam") {
    return {
      standard: [],
      imports: [
        "import boto3",
        "import requests",
        "from botocore.auth import SigV4Auth",
        "from botocore.awsrequest import AWSRequest",
      ],
      setup: [
        "session = boto3.Session()",
        "",
        "def signed(request):",
        '    content = {name: value for name, value in request.headers.items() if name.lower() == "content-type"}',
        "    aws = AWSRequest(request.method, request.url, data=request.body, headers=content)",
        '    SigV4Auth(session.get_credentials(), "execute-api", session.region_name).add_auth(aws)',
        "    request.headers.update(aws.headers)",
        "    return request",
        "",
      ],
      headers: [],
      extra: ["    auth=signed,"],
    };
  }
  const headers =
    {
      "api-key": [`"x-api-key": os.environ["${KEY_VARIABLE}"]`],
      jwt: [`"authorization": "Bearer " + os.environ["${TOKEN_VARIABLE}"]`],
      cognito: [`"authorization": "Bearer " + os.environ["${TOKEN_VARIABLE}"]`],
    }[AUTH] ?? [];
  return {
    standard: headers.length ? ["import os", ""] : [],
    imports: ["import requests"],
    setup: [],
    headers,
    extra: [],
  };
}

function pythonCall(path, headers, bodyArguments, after) {
  const auth = pythonAuth();
  const sent = [
    ...auth.headers,
    ...Object.entries(headers).map(
      ([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`,
    ),
  ];
  const headersArgument =
    sent.length === 0
      ? []
      : sent.length === 1
        ? [`    headers={${sent[0]}},`]
        : ["    headers={", ...sent.map((line) => `        ${line},`), "    },"];
  return [
    ...auth.standard,
    ...auth.imports,
    "",
    ...auth.setup,
    "answer = requests.post(",
    `    ${JSON.stringify(BASE + path)},`,
    ...headersArgument,
    ...auth.extra,
    ...bodyArguments,
    "    timeout=70,",
    ")",
    ...after,
  ].join("\n");
}

function clientCall(request) {
  const task = canonicalTask(request.task);
  const known = CLIENT[task];
  if (!known) return `# huggingface_hub.InferenceClient has no method for ${request.task}.`;
  if (AUTH === "iam")
    return "# InferenceClient cannot sign a request with AWS credentials: see the other two.";
  const { inputs } = request.body;
  // null asks for what the client gives by itself.
  const parameters = Object.entries(request.body.parameters ?? {}).filter(
    ([, value]) => value !== null,
  );
  const named = parameters.filter(([name]) => known.takes.includes(name));
  const rest = parameters.filter(
    ([name]) => !known.takes.includes(name) && name !== "candidate_labels",
  );
  const labels = request.body.parameters?.candidate_labels;
  const first = {
    "question-answering": () => [
      `question=${pythonLiteral(inputs.question)}`,
      `context=${pythonLiteral(inputs.context, "    ")}`,
    ],
    "table-question-answering": () => [
      `query=${pythonLiteral(inputs.query)}`,
      `table=${pythonLiteral(inputs.table, "    ")}`,
    ],
  }[task];
  const several = Array.isArray(inputs);
  const passed = [
    ...(first ? first() : [several ? "text" : pythonLiteral(inputs)]),
    ...(labels ? [pythonLiteral(labels, "    ")] : []),
    ...named.map(([name, value]) => `${name}=${pythonLiteral(value, "    ")}`),
    ...(known.rest && rest.length
      ? [`${known.rest}=${pythonLiteral(Object.fromEntries(rest), "    ")}`]
      : []),
  ];
  const oneLine = `client.${known.method}(${passed.join(", ")})`;
  const asked =
    oneLine.length <= 80 && !oneLine.includes("\n")
      ? oneLine
      : `client.${known.method}(\n${passed.map((part) => `    ${part},\n`).join("")})`;
  const token =
    {
      "api-key": `os.environ["${KEY_VARIABLE}"]`,
      jwt: `os.environ["${TOKEN_VARIABLE}"]`,
      cognito: `os.environ["${TOKEN_VARIABLE}"]`,
    }[AUTH] ?? '"none"';
  const lines = [
    ...(AUTH in CREDENTIALS ? ["import os", ""] : []),
    "from huggingface_hub import InferenceClient",
    "",
    "client = InferenceClient(",
    `    model=${JSON.stringify(`${BASE}hf/models/${encodeURIComponent(request.model)}`)},`,
    `    token=${token},  # without one, the client would send your Hub token here`,
    ...(AUTH === "api-key" ? [`    headers={"x-api-key": ${token}},`] : []),
    ")",
  ];
  if (!known.rest && rest.length)
    lines.push(
      `# Not among the client's own parameters: ${rest.map(([name]) => name).join(", ")}.`,
    );
  if (several) {
    lines.push(
      `for text in ${pythonLiteral(inputs)}:`,
      ...`print(${asked})`.split("\n").map((line) => `    ${line}`),
    );
  } else lines.push(`print(${asked})`);
  return lines.join("\n");
}

const PREDICTION_SNIPPETS = {
  curl: (request) =>
    curlCall("POST", request.path, {
      headers: { "content-type": "application/json", ...request.headers },
      more: [`--data-raw ${shellQuoted(bodyText(request.body))}`],
    }),
  python: (request) =>
    pythonCall(
      request.path,
      request.headers,
      [`    json=${pythonLiteral(request.body, "    ")},`],
      ["answer.raise_for_status()", "print(answer.json())"],
    ),
  client: clientCall,
};

// A batch's code reads its lines from a file, since a person has them in one.
const BATCH_SNIPPETS = {
  curl({ path, file, contentType, bytes, uri }) {
    if (uri) {
      return curlCall("POST", path, {
        headers: { "content-type": contentType },
        more: [`--data-raw ${shellQuoted(JSON.stringify({ input: uri }))}`],
      });
    }
    if (bytes <= INLINE_BYTES) {
      return curlCall("POST", path, {
        headers: { "content-type": contentType },
        more: [`--data-binary @${shellQuoted(file)}`],
      });
    }
    const asked = curlCall("POST", path, {
      headers: { "content-type": "application/json" },
      more: [
        `--data-raw ${shellQuoted(JSON.stringify({ upload: { content_type: contentType } }))}`,
      ],
    });
    return [
      `batch=$(${asked})`,
      `curl -sS -T ${shellQuoted(file)} -H ${shellQuoted(`content-type: ${contentType}`)} "$(printf %s "$batch" | jq -r .upload.url)"`,
      'printf "%s\\n" "$batch"',
    ].join("\n");
  },
  python({ path, file, contentType, bytes, uri }) {
    if (uri) {
      return pythonCall(
        path,
        {},
        [`    json={"input": ${JSON.stringify(uri)}},`],
        ["answer.raise_for_status()", "print(answer.json())"],
      );
    }
    const read = `open(${JSON.stringify(file)}, "rb").read()`;
    if (bytes <= INLINE_BYTES) {
      return pythonCall(
        path,
        { "content-type": contentType },
        [`    data=${read},`],
        ["answer.raise_for_status()", "print(answer.json())"],
      );
    }
    return pythonCall(
      path,
      {},
      [`    json={"upload": {"content_type": ${JSON.stringify(contentType)}}},`],
      [
        "answer.raise_for_status()",
        "batch = answer.json()",
        'upload = batch["upload"]',
        `requests.put(upload["url"], headers=upload["headers"], data=${read}, timeout=600).raise_for_status()`,
        'print(batch["id"])',
      ],
    );
  },
  client: () => "# InferenceClient has no batches: see the other two.",
};

const SNIPPET_NOTES = {
  "api-key": `Reads the key from ${KEY_VARIABLE}: export it first.`,
  jwt: `Reads the token from ${TOKEN_VARIABLE}: export it first.`,
  cognito: `Reads the token from ${TOKEN_VARIABLE}: export it first.`,
  iam: "Signs with the AWS credentials of the environment.",
};
