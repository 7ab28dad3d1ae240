/**
 * Serves evaluations in one Python process: a request is two blocks, `[length u32 BE][bytes]` each, the code and a marker.
 *
 * The marker is read only when the code has run, and written to both outputs behind everything that the code has written.
 * Requests and markers use descriptors of their own, which child processes do not inherit; code that closes or redirects
 * descriptors 0 to 2, or reads standard input, does not disturb them.
 * Every expression statement shows its value, as in an interactive session, and no blank line is needed after a block.
 */
export const PYTHON_DRIVER = `
def serve():
    import ast, builtins, os, struct, sys, traceback, types
    requests, outputs = os.dup(0), [os.dup(1), os.dup(2)]
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    pid = os.getpid()
    main = types.ModuleType('__main__')
    main.__dict__['__builtins__'] = builtins
    sys.modules['__main__'] = main
    sys.argv = ['']

    def read(size):
        data = b''
        while len(data) < size:
            piece = os.read(requests, size - len(data))
            if not piece:
                os._exit(0)
            data += piece
        return data

    def block():
        return read(struct.unpack('>I', read(4))[0])

    def run(code):
        try:
            tree = ast.parse(code, '<stdin>')
            unit = compile(ast.Interactive(tree.body), '<stdin>', 'single')
        except (SyntaxError, ValueError) as error:
            traceback.print_exception(type(error), error, None)
            return
        try:
            exec(unit, main.__dict__)
        except SystemExit:
            raise
        except BaseException as error:
            traceback.print_exception(type(error), error, error.__traceback__.tb_next)

    def flush():
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            try:
                stream.flush()
            except Exception:
                pass

    while True:
        run(block().decode())
        if os.getpid() != pid:
            flush()
            os._exit(0)
        flush()
        marker = block()
        for output in outputs:
            rest = marker
            while rest:
                rest = rest[os.write(output, rest):]

serve()
`;
