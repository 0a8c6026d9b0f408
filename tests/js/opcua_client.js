// An OPC UA client of another code base (node-opcua) for tools/faults/opcua_acceptance.py.
// Settings come as JSON in the first argument; each line that it prints is a JSON object.
const {
  OPCUAClient, SecurityPolicy, MessageSecurityMode, AttributeIds, UserTokenType, constructEventFilter, Variant,
  DataType, VariantArrayType, TimestampsToReturn, coerceNodeId, BrowseDirection, NodeClass,
} = require("node-opcua-client");
const { promoteOpaqueStructure } = require("node-opcua-client-dynamic-extension-object");
const { OPCUACertificateManager } = require("node-opcua-certificate-manager");

let given = JSON.parse(process.argv[2]);
const say = (values) => console.log(JSON.stringify(values));
const sayFailed = (error) => say({ failed: error.message.slice(0, 300) });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const extension = (value) => new Variant({ dataType: DataType.ExtensionObject, value });
const AUTOMATIC = ".VisionStateMachine.AutomaticModeStateMachine";

async function open() {
  const pki = new OPCUACertificateManager({ rootFolder: given.pki, automaticallyAcceptUnknownCertificate: true });
  await pki.initialize();
  const client = OPCUAClient.create({
    securityPolicy: SecurityPolicy.Basic256Sha256, securityMode: MessageSecurityMode.SignAndEncrypt,
    certificateFile: given.certificate, privateKeyFile: given.key, applicationUri: given.uri,
    clientCertificateManager: pki, endpointMustExist: false, requestedSessionTimeout: 20000,
    connectionStrategy: given.retry ? { initialDelay: 200, maxDelay: 1000, maxRetry: -1 } : { maxRetry: 0 },
  });
  await client.connect(given.url);
  const login = given.user ? { type: UserTokenType.UserName, userName: given.user, password: given.password } : undefined;
  const session = await client.createSession(login);
  const namespaces = (await session.read({ nodeId: "i=2255", attributeId: AttributeIds.Value })).value.value;
  const index = namespaces.indexOf("urn:inspectd:plant");
  const vision = namespaces.indexOf("http://opcfoundation.org/UA/MachineVision");
  const id = (path) => coerceNodeId(`ns=${index};s=line${path}`);
  const structure = async (type, text) =>
    extension(await session.constructExtensionObject(coerceNodeId(`ns=${vision};i=${type}`), { id: text }));
  return { client, session, vision, id, structure };
}

async function job(at, part, recipe = "") {
  const parameters = new Variant({ dataType: DataType.Variant, arrayType: VariantArrayType.Array, value: [] });
  const inputArguments = [
    await at.structure(3015, "m"), await at.structure(3004, part), await at.structure(3002, recipe),
    await at.structure(3003, ""), parameters,
  ];
  const answer = await at.session.call({ objectId: at.id(AUTOMATIC), methodId: at.id(AUTOMATIC + ".StartSingleJob"), inputArguments });
  return { status: answer.statusCode.name, job: answer.outputArguments?.[0]?.value?.id, error: answer.outputArguments?.[1]?.value };
}

async function listen(at, onEvent) {
  const subscription = await at.session.createSubscription2({
    requestedPublishingInterval: given.interval ?? 10, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 10,
    maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 1,
  });
  const names = ["ResultId", "PartId", "JobId", "ResultState", "ExternalRecipeId", "IsPartial", "ResultContent"];
  const fields = ["EventType", "Severity", ...names.map((name) => `${at.vision}:${name}`)];
  const item = await subscription.monitor(
    { nodeId: at.id(""), attributeId: AttributeIds.EventNotifier },
    { samplingInterval: 0, queueSize: 1000, discardOldest: true, filter: constructEventFilter(fields) },
    TimestampsToReturn.Both,
  );
  item.on("changed", async (values) => {
    const content = values[8].value;
    if (!content) return; // an event of another type
    const arrived = process.hrtime.bigint();
    await promoteOpaqueStructure(at.session, content.map((value) => ({ value })));
    const meta = content[0].value.resultMetaData;
    onEvent({
      result: values[2].value.id, part: values[3].value.id, job: values[4].value.id, state: values[5].value,
      recipe: values[6].value.id, partial: values[7].value, evaluation: meta.resultEvaluation,
      code: Number(meta.resultEvaluationCode[1] ?? meta.resultEvaluationCode), text: meta.resultEvaluationDetails.text,
    }, arrived);
  });
  return subscription;
}

const actions = {
  async jobs() {
    const at = await open();
    const begun = new Map(), waiting = new Map();
    await listen(at, (event, arrived) => {
      const began = begun.get(event.job);
      if (began === undefined) waiting.set(event.job, [event, arrived]); // it overtook the answer
      else say({ event, ms: Number(arrived - began) / 1e6 });
    });
    for (const type of [3002, 3003, 3004, 3015]) await at.structure(type, ""); // it reads the types once
    await sleep(300);
    for (let number = 0; number < given.count; number++) {
      const began = process.hrtime.bigint();
      const answer = await job(at, `P-${number}`);
      say({ answer, part: `P-${number}`, ms: Number(process.hrtime.bigint() - began) / 1e6 });
      begun.set(answer.job, began);
      const early = waiting.get(answer.job);
      if (early) say({ event: early[0], ms: Number(early[1] - began) / 1e6 });
      const spent = Number(process.hrtime.bigint() - began) / 1e6;
      await sleep(Math.max(0, given.pace - spent));
    }
    await sleep(2500);
    await at.session.close(true);
    await at.client.disconnect();
  },

  // Read every attribute value below the line and follow every reference down.
  async browse() {
    const at = await open();
    const seen = new Set(), bad = [];
    const look = async (nodeId) => {
      if (seen.has(nodeId.toString())) return;
      seen.add(nodeId.toString());
      const found = await at.session.browse({ nodeId, browseDirection: BrowseDirection.Forward, referenceTypeId: "i=33", includeSubtypes: true, resultMask: 63 });
      if (!found.statusCode.isGood()) bad.push([nodeId.toString(), found.statusCode.name]);
      for (const reference of found.references ?? []) {
        if (reference.nodeClass === NodeClass.Variable) {
          const value = await at.session.read({ nodeId: reference.nodeId, attributeId: AttributeIds.Value });
          if (!value.statusCode.isGood()) bad.push([reference.nodeId.toString(), value.statusCode.name]);
        }
        await look(reference.nodeId);
      }
    };
    await look(at.id(""));
    say({ nodes: seen.size, bad });
    await at.session.close(true);
    await at.client.disconnect();
  },

  // Stay connected, unattended; say each event.
  async wait() {
    const at = await open();
    await listen(at, (event) => say({ event }));
    say({ ready: true });
    await sleep(given.seconds * 1000);
    say({ cpu: process.cpuUsage().user / 1e6 });
    process.exit(0);
  },

  async login() {
    const at = await open();
    const answer = given.part === undefined ? null : await job(at, given.part, given.recipe);
    const inputArguments = [await at.structure(3002, given.recipe ?? ""), await at.structure(3013, "")];
    const prepared = await at.session.call({ objectId: at.id(".RecipeManagement"), methodId: at.id(".RecipeManagement.PrepareRecipe"), inputArguments });
    const state = await at.session.read({ nodeId: at.id(AUTOMATIC + ".CurrentState"), attributeId: AttributeIds.Value });
    say({ answer, prepared: prepared.statusCode.name, error: prepared.outputArguments?.[2]?.value, state: state.value.value.text });
    await at.session.close(true);
    await at.client.disconnect();
  },

  // One login after the other, each with settings of its own: to load the library takes a second of processor time.
  async logins() {
    const common = given;
    for (const own of common.logins) {
      given = { ...common, ...own };
      try { await actions.login(); } catch (error) { sayFailed(error); }
    }
    process.exit(0); // connections of those that failed are open
  },

  // So many subscriptions of 1 ms, kept for some time.
  async load() {
    const at = await open();
    for (let number = 0; number < given.count; number++) {
      try { await listen(at, () => {}); } catch (error) { say({ refused: error.message.slice(0, 80) }); break; }
    }
    say({ ready: true });
    await sleep(given.seconds * 1000);
    process.exit(0);
  },
};

actions[given.action]().catch((error) => { sayFailed(error); process.exit(1); });
