/* bcc asks for a version to choose among helpers; 5.18 is the oldest that has what our programs call (several buffers in XDP). */
#define KERNEL_VERSION(major, minor, patch) (((major) << 16) + ((minor) << 8) + ((patch) > 255 ? 255 : (patch)))
#define LINUX_VERSION_CODE KERNEL_VERSION(5, 18, 0)
