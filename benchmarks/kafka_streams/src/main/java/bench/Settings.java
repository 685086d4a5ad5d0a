package bench;

import java.util.HashMap;
import java.util.Map;

/** The options of the contract in benchmarks/runners/common.py, and `--tuned`, which is this engine's own. */
record Settings(Map<String, String> options, boolean tuned) {

    static Settings parse(String[] arguments) {
        Map<String, String> options = new HashMap<>();
        boolean tuned = false;
        for (int i = 0; i < arguments.length; i++) {
            if (arguments[i].equals("--tuned")) {
                tuned = true;
            } else {
                options.put(arguments[i].substring(2), arguments[++i]);
            }
        }
        return new Settings(options, tuned);
    }

    String get(String name) {
        String value = options.get(name);
        if (value == null) {
            throw new IllegalArgumentException("missing option --" + name);
        }
        return value;
    }

    boolean exactlyOnce() {
        return get("guarantee").equals("exactly-once");
    }
}
