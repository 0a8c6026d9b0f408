// What a SCADA system of another code base sees (mqtt, and Cirrus Link's sparkplug-payload): each message of an edge node decoded,
// as JSON on a line, for tools/faults/sparkplug_acceptance.py. A line on its input is a command: "rebirth", "online" or "offline".
const mqtt = require("mqtt");
const readline = require("readline");
const sparkplug = require("sparkplug-payload").get("spBv1.0");

const given = JSON.parse(process.argv[2]);
const plain = (value) => (value !== null && typeof value === "object" && "low" in value ? Number(value) : value);
const state = (online) => JSON.stringify({ online, timestamp: Date.now() });
const client = mqtt.connect(`mqtt://127.0.0.1:${given.port}`, {
  protocolVersion: 4, clientId: "scada", reconnectPeriod: 500,
  will: { topic: "spBv1.0/STATE/scada", payload: state(false), qos: 1, retain: true },
});

client.on("connect", () => {
  client.subscribe("spBv1.0/demo/#", { qos: 1 });
  client.publish("spBv1.0/STATE/scada", state(true), { qos: 1, retain: true });
});
client.on("message", (topic, raw, packet) => {
  const [, , kind, , device] = topic.split("/");
  if (kind[1] === "C") return;
  const message = sparkplug.decodePayload(raw);
  const metrics = message.metrics.map((metric) => ({
    name: metric.name ?? null, alias: metric.alias == null ? null : Number(metric.alias), type: metric.type,
    value: plain(metric.value), historical: Boolean(metric.isHistorical), timed: Boolean(metric.timestamp),
  }));
  const seq = message.seq == null ? null : Number(message.seq);
  console.log(JSON.stringify({ kind, device: device ?? null, seq, retain: packet.retain, qos: packet.qos, metrics }));
});
client.on("error", () => {}); // it connects again by itself

readline.createInterface({ input: process.stdin }).on("line", (word) => {
  if (word === "rebirth") {
    const metrics = [{ name: "Node Control/Rebirth", type: "Boolean", value: true }];
    client.publish("spBv1.0/demo/NCMD/line1", sparkplug.encodePayload({ timestamp: Date.now(), metrics }));
  } else {
    client.publish("spBv1.0/STATE/scada", state(word === "online"), { qos: 1, retain: true });
  }
}).on("close", () => client.end(true));
