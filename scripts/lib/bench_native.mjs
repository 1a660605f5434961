// What bench_hot.mjs measures beside workers: nginx and Varnish, where they are installed; and the
// processor's time of processes.

import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createServer as createListener } from "node:net";
import { join } from "node:path";

export const say = (text) => process.stderr.write(`bench: ${text}\n`);
export const pause = (millis) => new Promise((done) => setTimeout(done, millis));

function freePort() {
  return new Promise((done) => {
    const listener = createListener().listen(0, "127.0.0.1", () => {
      const { port } = listener.address();
      listener.close(() => done(port));
    });
  });
}

/** The processes that a process has begun, by the beginning of their name. */
export function children(parent, name = "") {
  const table = execFileSync("ps", ["-o", "pid=,comm=", "--ppid", String(parent)], {
    encoding: "utf8",
  });
  const rows = table.split("\n").map((line) => line.trim().split(/\s+/));
  return rows.filter(([pid, comm]) => pid && comm.startsWith(name)).map(([pid]) => Number(pid));
}

/** Nanoseconds of processor time that processes took. */
export function processorTime(pids) {
  const of = (read) => {
    try {
      return read();
    } catch {
      // A process or a thread that has ended since.
      return [];
    }
  };
  const tasks = pids.flatMap((pid) =>
    of(() => readdirSync(`/proc/${pid}/task`).map((task) => `${pid}/task/${task}`)),
  );
  const times = tasks.flatMap((task) =>
    of(() => [readFileSync(`/proc/${task}/schedstat`, "utf8").split(" ")[0]]),
  );
  return times.reduce((sum, time) => sum + Number(time), 0);
}

async function answers(url) {
  for (let tries = 0; tries < 600; tries += 1) {
    try {
      await (await fetch(url)).arrayBuffer();
      return true;
    } catch {
      await pause(50);
    }
  }
  return false;
}

async function startNative(name, command, arguments_) {
  try {
    execFileSync("which", [command]);
  } catch {
    say(`${command} is not installed`);
    return [];
  }
  const { list, port } = await arguments_();
  const child = spawn(command, list, { stdio: "ignore" });
  const url = `http://127.0.0.1:${port}`;
  if (!(await answers(url))) return [];
  const pids = [child.pid, ...children(child.pid)];
  return [[name, { url, pids, close: () => child.kill() }]];
}

export const nginx = (directory, target) =>
  startNative("nginx", "nginx", async () => {
    const port = await freePort();
    mkdirSync(join(directory, "nginx"));
    const file = join(directory, "nginx.conf");
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (one) => `${one}_temp_path ${directory}/nginx/${one};`,
    );
    // Its worker would be nobody, who may not write here.
    const user = process.getuid() === 0 ? "user root; " : "";
    writeFileSync(
      file,
      `${user}daemon off; worker_processes 1; pid ${directory}/nginx.pid; error_log /dev/null;
events { worker_connections 512; }
http {
  access_log off; ${temporary.join(" ")}
  proxy_cache_path ${directory}/nginx/cache keys_zone=pages:32m max_size=512m;
  upstream site { server ${target}; keepalive 32; }
  server {
    listen 127.0.0.1:${port}; keepalive_requests 1000000;
    location / {
      proxy_pass http://site; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache pages; proxy_cache_lock on;
      proxy_cache_use_stale updating error; proxy_cache_background_update on;
      proxy_cache_key $host$uri?a=$arg_a&b=$arg_b&n=$arg_n; proxy_cache_bypass $cookie_sessionid;
      proxy_no_cache $cookie_sessionid;
    }
  }
}`,
    );
    return { list: ["-c", file, "-p", directory], port };
  });

export const varnish = (directory, target) =>
  startNative("Varnish", "varnishd", async () => {
    const port = await freePort();
    const [host, at] = target.split(":");
    const file = join(directory, "site.vcl");
    writeFileSync(
      file,
      `vcl 4.1;
backend site { .host = "${host}"; .port = "${at}"; }
sub vcl_recv {
  if (req.http.Cookie ~ "sessionid=") { return (pass); }
  unset req.http.Cookie;
  set req.url = regsuball(req.url, "utm_[a-z]+=[^&]*&?", "");
  return (hash);
}
sub vcl_backend_response { set beresp.grace = 1d; }`,
    );
    return {
      list: [
        "-F",
        "-a",
        `127.0.0.1:${port}`,
        "-f",
        file,
        "-n",
        join(directory, "varnish"),
        "-s",
        "malloc,128m",
        "-j",
        "none",
      ],
      port,
    };
  });
