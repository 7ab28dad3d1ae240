"""Speaks FUSE to a vhost-user file server directly, as a guest with a kernel of its own making could: no kernel checks the
names on the way. Usage: raw-fuse-client.py SOCKET; reads one request a line as JSON, answers one line each.

Requests: {"op": NAME, "node": N, ...}; answers: {"error": errno, "node": N}. A failure of the transport is an exception.
"""
import json, mmap, os, select, socket, struct, sys

SIZE = 1 << 20
QUEUE_SIZE = 8
# Where things lie in the shared memory; the file server sees the same offsets.
RING, REQUEST, ANSWER = {0: 0x0000, 1: 0x4000}, 0x10000, 0x20000
ANSWER_BYTES = 0x10000

memory_fd = os.memfd_create("guest")
os.ftruncate(memory_fd, SIZE)
memory = mmap.mmap(memory_fd, SIZE)
server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
server.connect(sys.argv[1])
server.settimeout(120)


def send(request, payload=b"", fds=()):
    socket.send_fds(server, [struct.pack("<III", request, 1, len(payload)) + payload], list(fds))


def ask(request):
    send(request)
    _, _, size = struct.unpack("<III", server.recv(12, socket.MSG_WAITALL))
    return struct.unpack("<Q", server.recv(size, socket.MSG_WAITALL))[0]


# Virtual addresses and guest addresses are both simply offsets here.
send(3)
features = ask(1)
wanted = 1 << 32 | 1 << 30
assert features & wanted == wanted, hex(features)
send(2, struct.pack("<Q", wanted))
ask(15)
send(16, struct.pack("<Q", 0))
send(5, struct.pack("<IIQQQQ", 1, 0, 0, SIZE, 0, 0), [memory_fd])
kick, call = {}, {}
for queue, base in RING.items():
    kick[queue], call[queue] = os.eventfd(0), os.eventfd(0)
    descriptors, available, used = base, base + 0x1000, base + 0x2000
    send(8, struct.pack("<II", queue, QUEUE_SIZE))
    send(10, struct.pack("<II", queue, 0))
    send(9, struct.pack("<IIQQQQ", queue, 0, descriptors, used, available, 0))
    send(13, struct.pack("<Q", queue), [call[queue]])
    send(12, struct.pack("<Q", queue), [kick[queue]])
    send(18, struct.pack("<II", queue, 1))

turn = 0


def fuse(opcode, node, body):
    """One request on the queue for requests: (errno, bytes of the answer)."""
    global turn
    header = struct.pack("<IIQQIIII", 40 + len(body), opcode, turn + 1, node, 0, 0, 1, 0)
    memory[REQUEST : REQUEST + 40 + len(body)] = header + body
    base = RING[1]
    memory[base : base + 32] = struct.pack("<QIHHQIHH", REQUEST, 40 + len(body), 1, 1, ANSWER, ANSWER_BYTES, 2, 0)
    slot = base + 0x1000 + 4 + 2 * (turn % QUEUE_SIZE)
    memory[slot : slot + 2] = struct.pack("<H", 0)
    turn += 1
    memory[base + 0x1002 : base + 0x1004] = struct.pack("<H", turn & 0xFFFF)
    os.eventfd_write(kick[1], 1)
    while struct.unpack("<H", memory[base + 0x2002 : base + 0x2004])[0] != turn & 0xFFFF:
        if not select.select([call[1], server], [], [], 120)[0]:
            raise TimeoutError("the file server does not answer")
        if select.select([server], [], [], 0)[0]:
            raise ConnectionError("the file server has hung up")
        os.eventfd_read(call[1])
    length, error, _ = struct.unpack("<IiQ", memory[ANSWER : ANSWER + 16])
    return -error, memory[ANSWER + 16 : ANSWER + length]


SUBMOUNTS = 1 << 27
error, _ = fuse(26, 0, struct.pack("<IIII", 7, 31, 0, SUBMOUNTS))
assert error == 0, error
text = lambda value: value.encode("utf-8", "surrogateescape") + b"\0"
OPERATIONS = {
    "lookup": lambda r: (1, text(r["name"])),
    "symlink": lambda r: (6, text(r["name"]) + text(r["target"])),
    "mknod": lambda r: (8, struct.pack("<IIII", r["mode"], r["rdev"], 0, 0) + text(r["name"])),
    "mkdir": lambda r: (9, struct.pack("<II", 0o755, 0) + text(r["name"])),
    "unlink": lambda r: (10, text(r["name"])),
    "rmdir": lambda r: (11, text(r["name"])),
    "rename": lambda r: (12, struct.pack("<Q", r["parent"]) + text(r["name"]) + text(r["target"])),
    "link": lambda r: (13, struct.pack("<Q", r["source"]) + text(r["name"])),
    "create": lambda r: (35, struct.pack("<IIII", os.O_RDWR | os.O_CREAT, 0o644, 0, 0) + text(r["name"])),
    "readlink": lambda r: (5, b""),
    "open": lambda r: (14, struct.pack("<II", r["flags"], 0)),
}
ENTRY = ("lookup", "symlink", "mknod", "mkdir", "link", "create")
print("ready", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    opcode, body = OPERATIONS[request["op"]](request)
    error, answer = fuse(opcode, request["node"], body)
    found = struct.unpack("<Q", answer[:8])[0] if error == 0 and request["op"] in ENTRY else 0
    print(json.dumps({"error": error, "node": found}), flush=True)
