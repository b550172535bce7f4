/* What adbd says of the device, from build.prop: Debian's libbase knows no properties.
 * C, not C++, for a compiler without headers: a std::string is a pointer, a size and a capacity, and is freed as such.
 */
typedef unsigned long size_t;
typedef struct { char *text; size_t size, capacity, unused; } string;

extern char *getenv(const char *), *fgets(char *, int, void *), *strdup(const char *);
extern void *fopen(const char *, const char *);
extern int fclose(void *), strcmp(const char *, const char *), strncmp(const char *, const char *, size_t);
extern size_t strlen(const char *), strcspn(const char *, const char *);

#define GET_PROPERTY _ZN7android4base11GetPropertyERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEES8_

string GET_PROPERTY(const string *key, const string *otherwise)
{
    const char *path = getenv("PHONE_PROPS");
    void *file = fopen(path ? path : "/system/build.prop", "r");
    char line[512];
    string value;

    value.text = 0;
    if (!strcmp(key->text, "service.adb.listen_addrs") && getenv("ADBD_LISTEN")) /* else it listens on vsock too */
        value.text = strdup(getenv("ADBD_LISTEN"));
    while (file && !value.text && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, key->text, key->size) && line[key->size] == '=')
            value.text = strdup(line + key->size + 1);
    }
    if (file)
        fclose(file);
    if (!value.text)
        value.text = strdup(otherwise->text);
    value.size = value.capacity = strlen(value.text);
    return value;
}
