// @ts-check
// Twilio's own client library, driven by a test: one JSON object on standard input, one on standard output.
//
//   {"op": "sign", "authToken", "requests": [{"url", "params"?, "json"?}]}
//     → {"signed": [{"url", "contentType", "body", "signature"}]}
//   {"op": "use", "base", "accountSid", "authToken", "from", "to", "inbound"}
//     → what the library makes of the answers, step by step
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import twilio from "twilio";

/**
 * @typedef {{ url: string, params?: Record<string, string | string[]>, json?: string }} Unsigned
 * @typedef {{ url: string, contentType: string, body: string, signature: string }} Signed
 * @typedef {{ base: string, accountSid: string, authToken: string, from: string, to: string, inbound: string }} Account
 * @typedef {{ url: string, signature: string, params: Record<string, string> }} Callback
 */

/**
 * Signs a request as Twilio does: a form by its parameters, JSON by the hash of the body in the address.
 * @param {string} authToken
 * @param {Unsigned} request
 * @returns {Signed}
 */
function sign(authToken, { url, params, json }) {
  if (json !== undefined) {
    const hash = twilio.getExpectedBodyHash(json);
    const signedUrl = `${url}${url.includes("?") ? "&" : "?"}bodySHA256=${hash}`;
    const signature = twilio.getExpectedTwilioSignature(authToken, signedUrl, {});
    if (!twilio.validateRequestWithBody(authToken, signature, signedUrl, json)) {
      throw new Error("the library does not accept what it signed");
    }
    return { url: signedUrl, contentType: "application/json", body: json, signature };
  }
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(params ?? {})) {
    for (const one of [value].flat()) {
      form.append(name, one);
    }
  }
  const signature = twilio.getExpectedTwilioSignature(authToken, url, params ?? {});
  return { url, contentType: "application/x-www-form-urlencoded", body: form.toString(), signature };
}

/** The library's own HTTP client; only the host is another one. */
class Rerouted extends twilio.RequestClient {
  /**
   * @param {string} base
   * @param {ConstructorParameters<typeof twilio.RequestClient>[0]} [options]
   */
  constructor(base, options) {
    super(options);
    this.base = base;
  }

  /** @type {InstanceType<typeof twilio.RequestClient>["request"]} */
  request(options) {
    const { pathname, search } = new URL(options.uri);
    return super.request({ ...options, uri: `${this.base}${pathname}${search}` });
  }
}

/**
 * What the library throws, as plain data.
 * @param {() => Promise<unknown>} call
 */
async function refusal(call) {
  try {
    await call();
  } catch (error) {
    const known = error instanceof twilio.RestException;
    const { code, status, message, moreInfo } = /** @type {InstanceType<typeof twilio.RestException>} */ (error);
    return { known, code, status, message, moreInfo };
  }
  return { known: false, message: "nothing was thrown" };
}

/** A place for status callbacks that remembers each with its signature. */
async function callbacks() {
  /** @type {Callback[]} */
  const received = [];
  /** @type {(() => void)[]} */
  const waiting = [];
  const server = createServer(async (request, response) => {
    const body = await text(request);
    received.push({
      url: request.url ?? "",
      signature: String(request.headers["x-twilio-signature"]),
      params: Object.fromEntries(new URLSearchParams(body)),
    });
    response.writeHead(204).end();
    waiting.splice(0).forEach((wake) => wake());
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const address = server.address();
  if (address === null || typeof address === "string") {
    throw new Error("no port");
  }
  return {
    received,
    base: `http://127.0.0.1:${address.port}`,
    /** @param {(received: Callback[]) => boolean} enough */
    async until(enough) {
      while (!enough(received)) {
        await /** @type {Promise<void>} */ (new Promise((resolve) => waiting.push(resolve)));
      }
    },
    close: () => server.close(),
  };
}

/**
 * Works with an account as a program of a customer would.
 * @param {Account} account
 */
async function use({ base, accountSid, authToken, from, to, inbound }) {
  const httpClient = new Rerouted(base, { keepAlive: false });
  const client = twilio(accountSid, authToken, { httpClient });
  const hooks = await callbacks();
  const statusCallback = `${hooks.base}/status?m=it%27s`;
  const sent = await client.messages.create({ from, to, body: "Hello ✓ *bold*", statusCallback });
  await hooks.until((received) => received.some(({ params }) => params["MessageStatus"] === "delivered"));
  hooks.close();
  const fetched = await client.messages(sent.sid).fetch();

  const content = await client.content.v1.contents.create({
    friendlyName: "booking",
    language: "en",
    variables: { 1: "Ada" },
    types: { twilioQuickReply: { body: "Hello {{1}}, all well with it?", actions: [{ type: "QUICK_REPLY", title: "Yes", id: "yes" }] } },
  });
  const shown = await client.content.v1.contents(content.sid).fetch();
  const templated = await client.messages.create({
    from,
    to,
    contentSid: content.sid,
    contentVariables: JSON.stringify({ 1: "Grace" }),
  });
  const media = await client.messages.create({ from, to, body: "a look", mediaUrl: ["https://files.example.com/a.jpg"] });

  const listed = await client.messages.list({ to, from, pageSize: 1 });
  const today = new Date();
  const recent = await client.messages.list({ to, dateSentAfter: new Date(today.getTime() - 86_400_000), limit: 2 });
  const older = await client.messages.list({ to, dateSentBefore: new Date(today.getTime() - 3 * 86_400_000) });
  const senders = await client.messaging.v2.channelsSenders.list({ channel: "whatsapp" });

  const create = (/** @type {object} */ change) => () => client.messages.create({ from, to, body: "x", ...change });
  const stranger = twilio(accountSid, "not the token", { httpClient });
  const refused = {
    nobody: await refusal(create({ to: "whatsapp:nonsense" })),
    stranger: await refusal(create({ from: "whatsapp:+15005550001" })),
    channels: await refusal(create({ to: to.replace("whatsapp:", "") })),
    long: await refusal(create({ body: "x".repeat(1601) })),
    content: await refusal(create({ contentSid: `HX${"0".repeat(32)}` })),
    missing: await refusal(() => client.messages(`SM${"0".repeat(32)}`).fetch()),
    token: await refusal(() => stranger.messages.list({ limit: 1 })),
  };

  const redacted = await client.messages(sent.sid).update({ body: "" });
  const removed = await client.messages(media.sid).remove();
  const gone = await refusal(() => client.messages(media.sid).fetch());
  const received = await client.messages(inbound).fetch();
  const typing = await client.messaging.v2.typingIndicator.create({ channel: "whatsapp", messageId: inbound });
  return {
    sent: {
      sid: sent.sid,
      status: sent.status,
      numMedia: sent.numMedia,
      dateCreated: sent.dateCreated.toISOString(),
      dateSent: sent.dateSent,
      direction: sent.direction,
      uri: sent.uri,
    },
    fetched: {
      status: fetched.status,
      body: fetched.body,
      dateSent: fetched.dateSent.toISOString(),
      price: fetched.price,
      priceUnit: fetched.priceUnit,
    },
    callbacks: hooks.received.map(({ url, signature, params }) => ({
      status: params["MessageStatus"],
      sid: params["MessageSid"],
      valid: twilio.validateRequest(authToken, signature, `${hooks.base}${url}`, params),
      forged: twilio.validateRequest(authToken, signature, `${hooks.base}${url}`, { ...params, MessageStatus: "read" }),
    })),
    content: { sid: content.sid, types: shown.types, variables: shown.variables },
    templated: { sid: templated.sid, body: templated.body },
    media: { sid: media.sid, numMedia: media.numMedia },
    listed: listed.map(({ sid }) => sid),
    recent: recent.map(({ sid }) => sid),
    older: older.length,
    senders: senders.map(({ senderId, status }) => ({ senderId, status })),
    refused,
    redacted: redacted.body,
    removed,
    gone,
    received: { body: received.body, direction: received.direction, from: received.from },
    typing: typing.success,
  };
}

const { op, ...input } = JSON.parse(await text(process.stdin));
const answer =
  op === "sign"
    ? { signed: input.requests.map((/** @type {Unsigned} */ request) => sign(input.authToken, request)) }
    : await use(input);
process.stdout.write(`${JSON.stringify(answer)}\n`);
