// Keeps NNI's manager to this machine: a server that names no host listens on 127.0.0.1 instead of everywhere.
// Use: NODE_OPTIONS=--require=/path/to/loopback.cjs nnictl create --config ...
const net = require("net");
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
  const first = args[0];
  if (typeof first === "number" && typeof args[1] !== "string") args.splice(1, 0, "127.0.0.1");
  else if (first && typeof first === "object" && first.port !== undefined && !first.host) first.host = "127.0.0.1";
  return listen.apply(this, args);
};
