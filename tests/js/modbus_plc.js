// A PLC of another code base (modbus-serial) for tools/faults/modbus_acceptance.py: parts one after the other, by bits or by
// numbers (docs/gateways/modbus.md). Settings come as JSON in the first argument; each line that it prints is a JSON object.
const Modbus = require("modbus-serial");

const given = JSON.parse(process.argv[2]);
const say = (values) => console.log(JSON.stringify(values));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const ENABLE = 1, TRIGGER = 2, RESULTS_ACK = 8;
const OFFLINE = -1; // the line was not online any more when the trigger came
const TRIGGER_READY = 1 << 0, TRIGGER_ACK = 1 << 1, MISSED = 1 << 3, ONLINE = 1 << 7, RESULTS_VALID = 1 << 11;

async function main() {
  const client = new Modbus();
  await client.connectTCP("127.0.0.1", { port: given.port });
  client.setID(1);
  client.setTimeout(1000);
  const control = new Array(34).fill(0);
  const wide = (status, word) => status[word - 100] * 65536 + status[word - 99];

  async function cycle(bits) {
    control[0] = bits;
    control[1] = (control[1] + 1) & 0xffff;
    await client.writeRegisters(0, control);
    return (await client.readHoldingRegisters(100, 40)).data;
  }
  async function until(bits, test) {
    for (let count = 0; count < 20000 / Math.max(1, given.poll); count++) {
      const status = await cycle(bits);
      if (test(status)) return status;
      await sleep(given.poll);
    }
    throw new Error("waited too long");
  }
  function result(part, status, began) {
    const number = wide(status, 116);
    say({
      part, trigger: `${part}-${number}`, evaluation: status[20], key: status[21] === ((number & 0xffff) ^ 0xa55a),
      reason: status[22], ms: Number(process.hrtime.bigint() - began) / 1e6,
    });
  }
  async function byBits(part) {
    await until(ENABLE, (status) => status[0] & TRIGGER_READY);
    const began = process.hrtime.bigint();
    let status = await until(ENABLE | TRIGGER, (each) => each[0] & (TRIGGER_ACK | MISSED));
    if (status[0] & MISSED) return status[3] || OFFLINE;
    const acquisition = wide(status, 106);
    await until(ENABLE, (each) => !(each[0] & TRIGGER_ACK));
    status = await until(ENABLE, (each) => each[0] & RESULTS_VALID);
    if (wide(status, 116) !== acquisition) throw new Error(`result ${wide(status, 116)}, acquired ${acquisition}`);
    result(part, status, began);
    await until(ENABLE | RESULTS_ACK, (each) => !(each[0] & RESULTS_VALID));
  }
  async function byNumbers(part) {
    control[32] = control[32] % 0xffff + 1;
    const began = process.hrtime.bigint();
    let status = await until(ENABLE, (each) => each[10] === control[32]);
    if (status[11] !== 1) return status[3] || OFFLINE;
    const acquisition = wide(status, 106);
    const valid = (each) => each[0] & RESULTS_VALID && wide(each, 116) === acquisition;
    status = valid(status) ? status : await until(ENABLE, valid);
    result(part, status, began);
    control[33] = status[17];
  }

  const before = (await client.readHoldingRegisters(100, 40)).data; // of a program that ran before this one
  control[32] = before[10];
  control[33] = before[17];
  await until(ENABLE, (status) => status[0] & ONLINE);
  for (let part = 1; part <= given.parts; part++) {
    control[2] = part >> 16;
    control[3] = part & 0xffff;
    const trigger = given.by === "bits" ? byBits : byNumbers;
    let refused; // a busy line may be offline for a moment; the part stays where it is until it was judged
    while ((refused = await trigger(part)) !== undefined) say({ part, refused });
  }
  client.close(() => {});
}

main().catch((error) => {
  say({ failed: String(error.message) });
  process.exitCode = 1;
});
