// A language model that does one thing: it calls the tool it is told to, as often as it is told to, and then says "done".
// It speaks what agents speak to models, /v1/responses and /v1/chat/completions, as streams of events.
import http from 'node:http';

/** Everything in `value` that `keep` makes something of, in order. */
function collect(value, keep, found = []) {
  const kept = keep(value);
  if (kept !== undefined) found.push(kept);
  else if (value && typeof value === 'object') for (const inner of Object.values(value)) collect(inner, keep, found);
  return found;
}

/** What tools have answered so far in the conversation. */
function results(body) {
  return collect(body.messages ?? body.input, (value) => {
    if (value?.role === 'tool') return JSON.stringify(value.content);
    if (value?.type === 'function_call_output') return JSON.stringify(value.output);
    return undefined;
  });
}

/** The tool's name as this agent lists it, and the group that it lists it in. */
function listed(tools, tool) {
  const is = (name) => name === tool || name?.endsWith(`_${tool}`);
  for (const { type, name, function: inner, tools: grouped } of tools ?? []) {
    const member = type === 'namespace' && grouped?.find((one) => is(one.name));
    if (member) return { name: member.name, namespace: name };
    if (type === 'function' && is(inner?.name ?? name)) return { name: inner?.name ?? name };
  }
  return undefined;
}

const event = (data, name) => `${name ? `event: ${name}\n` : ''}data: ${JSON.stringify(data)}\n\n`;

/** The answer of /v1/chat/completions. */
function completion(call, turn) {
  const chunk = (delta, reason) =>
    event({
      id: `completion-${turn}`,
      object: 'chat.completion.chunk',
      created: 0,
      model: 'stand-in',
      choices: [{ index: 0, delta, finish_reason: reason }],
    });
  const delta = call
    ? { role: 'assistant', tool_calls: [{ index: 0, id: `call-${turn}`, type: 'function', function: call }] }
    : { role: 'assistant', content: 'done' };
  return `${chunk(delta, null)}${chunk({}, call ? 'tool_calls' : 'stop')}data: [DONE]\n\n`;
}

/** The answer of /v1/responses. */
function response(call, turn) {
  const item = call
    ? { type: 'function_call', id: `item-${turn}`, call_id: `call-${turn}`, status: 'completed', ...call }
    : {
        type: 'message',
        id: `item-${turn}`,
        role: 'assistant',
        status: 'completed',
        content: [{ type: 'output_text', text: 'done', annotations: [] }],
      };
  const tokens = { input_tokens: 1, output_tokens: 1, total_tokens: 2 };
  const whole = { id: `response-${turn}`, object: 'response', created_at: 0, model: 'stand-in' };
  const events = [
    ['response.created', { response: { ...whole, status: 'in_progress', output: [] } }],
    ['response.output_item.done', { output_index: 0, item }],
    ['response.completed', { response: { ...whole, status: 'completed', output: [item], usage: tokens } }],
  ];
  return events
    .map(([type, rest], number) => event({ type, sequence_number: number, ...rest }, type))
    .join('');
}

/**
 * Listens on a free port. The model has `tool` called with `parameters` (JSON) `calls` times; `between` is waited for before
 * each call but the first. `results()` is what the tool has answered.
 */
export async function model({ tool, parameters, calls, between }) {
  let best = [];
  const server = http.createServer(async (request, answer) => {
    let text = '';
    for await (const piece of request) text += piece;
    if (request.method !== 'POST') {
      answer.setHeader('content-type', 'application/json');
      return answer.end(JSON.stringify({ object: 'list', data: [{ id: 'stand-in', object: 'model' }], models: [] }));
    }
    const body = JSON.parse(text);
    const had = results(body);
    if (had.length > best.length) best = had;
    const found = had.length < calls && listed(body.tools, tool);
    if (found && had.length > 0) await between();
    const call = found ? { ...found, arguments: parameters } : undefined;
    answer.setHeader('content-type', 'text/event-stream');
    answer.end(request.url.includes('/responses') ? response(call, had.length) : completion(call, had.length));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}/v1`, results: () => best, close: () => server.close() };
}
